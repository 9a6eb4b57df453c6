# Holds lists that one function makes for another, and drops the strings of a third. Says its number.
import os
import sys


def row(number):
    return [number] * 2000


def hold():
    return [row(number) for number in range(2000)]


def churn():
    for number in range(2000):
        str(number) * 3000


def main():
    kept = hold()
    # The interpreter's own function calls one of Python.
    kept.sort(key=lambda line: bytearray(len(line)) and line[0])
    churn()
    return kept


kept = main()
print(f"process={os.getpid()} python={sys.version_info[1]}")
