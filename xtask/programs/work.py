# Dictionaries, strings, sorting, regular expressions and JSON, with every object on malloc (PYTHONMALLOC=malloc).
import hashlib
import json
import re

state = 12345


def number(limit):
    global state
    state = (state * 1103515245 + 12345) % 2147483648
    return (state >> 8) % limit


words = ["".join(chr(97 + number(26)) for _ in range(3 + number(9))) for _ in range(8000)]
digest = hashlib.sha256()
for turn in range(6):
    index = {}
    for position in range(40000):
        word = words[number(len(words))]
        index.setdefault(word, []).append((position, word * number(5)))
    text = json.dumps({word: index[word][:20] for word in sorted(index)})
    back = json.loads(text)
    found = re.findall(r'"([aeiou]\w*)"', text)
    digest.update(text.encode())
    print(turn, len(index), len(text), len(back), len(found), len(set(found)))
blocks = [bytes(number(4000)) for _ in range(30000)]
kept = []
for block in blocks:
    if number(3):
        kept.append(block + b"x" * number(500))
digest.update(str(sum(map(len, kept))).encode())
print(digest.hexdigest())
