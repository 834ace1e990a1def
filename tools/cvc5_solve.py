"""Puts an SMT-LIB file to cvc5, which PyPI has as a library alone: halmos wants a command.

    tools/cvc5_solve.py FILE

Sums and comparisons of wide amounts are easy as integers and take for ever bit by bit: so
bit-vectors become integers, exactly, by cvc5's own translation.
"""

import sys

import cvc5


def main() -> None:
    solver = cvc5.Solver()
    solver.setOption("solve-bv-as-int", "sum")
    solver.setOption("produce-models", "true")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, sys.argv[1])
    symbols = parser.getSymbolManager()
    while not (command := parser.nextCommand()).isNull():
        print(command.invoke(solver, symbols), end="", flush=True)


if __name__ == "__main__":
    main()
