"""`python -m flax_glitch` is `flax-glitch`."""

from flax_glitch.cli import main

if __name__ == "__main__":
    main()
