"""`python -m crmetrics`."""

from crmetrics.cli import main

if __name__ == "__main__":
    main()
