-- Customers for the demo: ?1 rows, the same every time. Names in many scripts, keys with gaps, decimals, times, JSON.
INSERT INTO customers (id, name, email, balance, joined, profile, note)
WITH RECURSIVE
    n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1),
    given (k, word) AS (VALUES
        (0, 'Ada'), (1, 'Zoë'), (2, 'Łukasz'), (3, 'Søren'), (4, 'Ivana'), (5, 'José'), (6, '美咲'), (7, 'Δήμητρα'),
        (8, 'محمد'), (9, 'Олена'), (10, 'नीला'), (11, 'Ngọc'), (12, 'Siân'), (13, 'Ümit'), (14, '서연'), (15, 'Aoife')),
    family (k, word) AS (VALUES
        (0, 'Lovelace'), (1, 'O''Brien'), (2, 'Müller-Lüdenscheidt'), (3, 'Nguyễn'), (4, '渡辺'), (5, 'Østergård'),
        (6, 'de la Cruz'), (7, 'Šimek'), (8, 'Παππάς'), (9, 'Ковальчук'), (10, '🦊 Fox'))
SELECT
    1 + i + i / 100 * 37,
    given.word || ' ' || family.word,
    'customer' || i || '@example.org',
    printf('%.2f', (i * 2654435761 % 20000000 - 5000000) / 100.0),
    datetime('2015-01-01', '+' || (i * 48271 % 300000000) || ' seconds'),
    '{"tier":"' || CASE i % 3 WHEN 0 THEN 'gold' WHEN 1 THEN 'silver' ELSE 'bronze' END || '","visits":' || (i * 31 % 997) || ',"tags":["a","é"]}',
    CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'Note ' || (i * 7919 % 1000003) || ' – “quoted”' END
FROM n
CROSS JOIN given ON given.k = i * 7919 % 16 -- CROSS: n is read once, from beginning to end.
CROSS JOIN family ON family.k = i * 104729 % 11;
