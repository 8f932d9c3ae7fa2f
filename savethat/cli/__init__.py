"""The command line: one file a command. Commands translate; what they ask for lives below."""
