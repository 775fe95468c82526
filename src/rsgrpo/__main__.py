"""`python -m rsgrpo`: the same as `rsgrpo`, the command of the installed package."""

from rsgrpo.main import main

if __name__ == "__main__":
    main()
