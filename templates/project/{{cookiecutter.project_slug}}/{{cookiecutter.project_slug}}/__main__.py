"""`python -m {{ cookiecutter.project_slug }} ...` is `savethat ...` in this project."""

from pathlib import Path

import savethat

if __name__ == "__main__":
    savethat.run_main("{{ cookiecutter.project_slug }}", env_file=Path(__file__).parent.parent / "savethat.toml")
