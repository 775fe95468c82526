"""Run folders side by side: which runs belong together, what is measured of each, and which differences are decided."""
