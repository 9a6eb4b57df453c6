-- Sums that do not depend on the order in which the clients came, then queries that sort, hash and build strings.
select count(*), sum(abalance) from pgbench_accounts;
select count(*), sum(delta) from pgbench_history;
create temp table word as
    select n, md5(n::text) as text, n % 97 as kind, array[n, n * 7 % 1000, n % 13] as numbers from generate_series(1, 60000) as n;
select kind, count(*), max(text), sum(cardinality(numbers)) from word group by kind order by kind;
select count(*), max(a.text || b.text) from word a join word b on left(a.text, 4) = right(b.text, 4);
select md5(string_agg(text, '' order by text desc)) from word;
select kind, md5(jsonb_object_agg(n, text)::text) from word where n <= 30000 group by kind order by kind limit 20;
with recursive steps(n, path) as (
    select 1, '1'::text union all select n + 1, right(path || ',' || n, 400) from steps where n < 8000
) select max(n), md5(max(path)) from steps;
select count(*), sum(length(regexp_replace(text, '[a-f]+', '-', 'g'))) from word;
