"""The platform's own tools: `vercel dev` in the place of the local server, and what the tests build with."""
