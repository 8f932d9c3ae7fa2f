"""Where runs are kept: one contract (`base`), a folder (`directory`) and Backblaze B2 (`b2`)."""
