# Reads modules of the standard library, and keeps their trees and an index of their names: a program whose memory several
# functions share.
import ast
import pathlib
import re


class Index:
    def __init__(self):
        self.places = {}

    def add(self, module, tree):
        for node in ast.walk(tree):
            name = getattr(node, "name", None)
            if name:
                self.note(name, module, node.lineno)

    def note(self, name, module, line):
        self.places.setdefault(name, []).append((module, line))


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def parse(text):
    return ast.parse(text)


def words(text):
    return set(re.findall(r"[a-z_]{4,}", text))


def load(folder, count):
    index, kept = Index(), {}
    for path in sorted(folder.glob("*.py"))[:count]:
        text = read(path)
        tree = parse(text)
        index.add(path.stem, tree)
        kept[path.stem] = (tree, words(text))
    return index, kept


index, kept = load(pathlib.Path(ast.__file__).parent, 60)
print(len(index.places), "names in", len(kept), "modules")
