"""The functions' shared code: web -> jobs -> adapters, core."""

import os

# One thread for linear algebra, asked for before anything imports numpy: products here are small, and on shared cores
# two threads wait for each other. Learning took 201 s with two and 15 s with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
