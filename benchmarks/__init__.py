"""What savethat claims about its speed, as commands anyone can run: see README.md."""
