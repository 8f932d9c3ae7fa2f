"""An emulator of the Backblaze B2 native API (v1 to v4), for tests and benchmarks.

Written from the public API documentation and from what real clients (b2sdk, the b2 command line,
rclone, restic) send; it shares no code with them. Standard library only, listens on 127.0.0.1.

    python -m tests.b2server --port 0 --dir DIR --key-id K --key S --bucket NAME

prints `READY http://127.0.0.1:PORT` once it accepts connections. README.md tells its control
endpoints and fault kinds, `--help` its options. `client.B2Server` runs it for a test.
"""
