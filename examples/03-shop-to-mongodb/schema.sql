CREATE TABLE products (id BIGINT PRIMARY KEY, sku VARCHAR(40) NOT NULL, name VARCHAR(120) NOT NULL, price VARCHAR(20),
    attributes JSON, updated_at DATETIME(6) NOT NULL, KEY (updated_at));
CREATE TABLE orders (id BIGINT PRIMARY KEY, customer_id BIGINT NOT NULL, status TINYINT NOT NULL, amount DECIMAL(12,2) NOT NULL,
    currency CHAR(3), placed_at DATETIME NOT NULL, updated_at DATETIME(6) NOT NULL, KEY (updated_at));
CREATE TABLE order_lines (order_id BIGINT NOT NULL, line SMALLINT NOT NULL, product_id BIGINT NOT NULL, pieces INT NOT NULL,
    price DECIMAL(12,2) NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE customers (id BIGINT PRIMARY KEY, email VARCHAR(120), first_name VARCHAR(60), last_name VARCHAR(60),
    phone VARCHAR(40), tax_number VARCHAR(40), updated_at DATETIME(6) NOT NULL, KEY (updated_at));
CREATE TABLE inventory (product_id BIGINT NOT NULL, warehouse VARCHAR(20) NOT NULL, pieces INT NOT NULL, reserved INT,
    updated_at DATETIME(6) NOT NULL, PRIMARY KEY (product_id, warehouse), KEY (updated_at));
INSERT INTO products VALUES
    (1, ' ab-100 ', 'Lamp', '19.90', '{"maker": {"name": "Lumen"}}', '2026-01-02 10:00:00'),
    (2, 'AB-200', 'Chair', '-1', NULL, '2026-01-02 10:00:00');
INSERT INTO orders VALUES
    (10, 1, 1, 39.80, NULL, '2026-01-03 09:00:00', '2026-01-03 09:00:00'),
    (11, 2, 4, 5.00, 'USD', '2026-01-03 09:30:00', '2026-01-03 09:30:00'),
    (12, 2, 9, 5.00, 'USD', '2026-01-03 09:45:00', '2026-01-03 09:45:00');
INSERT INTO order_lines VALUES (10, 1, 1, 1, 19.90), (10, 2, 1, 1, 19.90), (11, 1, 2, 1, 5.00);
INSERT INTO customers VALUES
    (1, ' Ada@Example.org ', 'Ada', 'Lovelace', '+44 20 7946 0123', 'GB 123', '2026-01-01 08:00:00'),
    (2, 'grace@example.org', 'Grace', NULL, NULL, NULL, '2026-01-01 08:00:00');
INSERT INTO inventory VALUES
    (1, 'berlin', 5, NULL, '2026-01-02 12:00:00'),
    (1, 'closed', 7, 1, '2026-01-02 12:00:00');
