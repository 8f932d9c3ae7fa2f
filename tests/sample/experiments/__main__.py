from pathlib import Path

import savethat

if __name__ == "__main__":
    savethat.run_main("experiments", env_file=Path(__file__).parent.parent / "savethat.toml")
