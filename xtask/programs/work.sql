CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, weight REAL);
WITH RECURSIVE step(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step WHERE n < 150000)
INSERT INTO item SELECT n, (n * 7919) % 997, printf('item-%d-%s', n, substr('abcdefghijklmnopqrstuvwxyz', n % 20 + 1, n % 7)), (n * 31 % 1000) / 8.0 FROM step;
CREATE INDEX item_kind ON item(kind, name);
CREATE TABLE part(item INTEGER, amount INTEGER, note TEXT);
WITH RECURSIVE step(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step WHERE n < 200000)
INSERT INTO part SELECT (n * 104729) % 150000 + 1, n % 13, hex(n * 2654435761) FROM step;
CREATE INDEX part_item ON part(item);
SELECT count(*), sum(weight), max(name) FROM item;
SELECT kind, count(*), sum(amount), min(note) FROM item JOIN part ON part.item = item.id GROUP BY kind ORDER BY 3 DESC, 1 LIMIT 20;
SELECT length(group_concat(name, ',')) FROM (SELECT name FROM item WHERE kind < 400 ORDER BY name DESC);
UPDATE item SET name = name || '+' || kind WHERE id % 3 = 0;
DELETE FROM part WHERE amount = 5;
SELECT a.kind, count(DISTINCT b.note) FROM item a JOIN part b ON b.item = a.id WHERE a.name LIKE '%cde%' GROUP BY a.kind ORDER BY 2 DESC, 1 LIMIT 10;
WITH RECURSIVE chain(id, depth) AS (SELECT 1, 0 UNION SELECT (id * 17) % 150000 + 1, depth + 1 FROM chain WHERE depth < 20000) SELECT count(*), sum(id) FROM chain;
PRAGMA integrity_check;
