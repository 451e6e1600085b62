"""``python -m secousti_native`` is ``secousti``."""

from secousti_native.cli import main

main()
