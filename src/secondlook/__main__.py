"""`python -m secondlook` is the command `secondlook`."""

from secondlook.cli import main

if __name__ == "__main__":
    main()
