"""The functions' shared code: web -> jobs -> adapters, core."""
