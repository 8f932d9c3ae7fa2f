"""Every parser of input from outside, under input that nobody meant for it.

targets.py      the parsers, each with what it may raise
guard.py        what none of them may do
test_fuzz.py    hypothesis, in `make test`
guided.py       atheris, in `make fuzz`
"""
