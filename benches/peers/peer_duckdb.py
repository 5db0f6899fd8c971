#!/usr/bin/env python3
"""The four queries by DuckDB: peer_duckdb.py DATA OUT

Loads the used columns of every table into memory with DuckDB's parallel CSV reader, told the columns' types so that it
need not guess them, then answers the queries. Amounts are DECIMAL(18,4), so sums are exact. Prints one line:
`load SECONDS queries SECONDS`, without the interpreter's start and the import of the library.
"""
import pathlib
import sys
import time

import duckdb

COLUMNS = {
    "transactions": {
        "transaction_id": "VARCHAR", "store_id": "INTEGER", "payment_method_id": "VARCHAR", "voucher_id": "VARCHAR",
        "user_id": "DOUBLE", "original_amount": "VARCHAR", "discount_applied": "VARCHAR",
        "final_amount": "DECIMAL(18,4)", "created_at": "TIMESTAMP",
    },
    "transaction_items": {
        "transaction_id": "VARCHAR", "item_id": "INTEGER", "quantity": "INTEGER", "unit_price": "VARCHAR",
        "subtotal": "DECIMAL(18,4)", "created_at": "TIMESTAMP",
    },
    "stores": {
        "store_id": "INTEGER", "store_name": "VARCHAR", "street": "VARCHAR", "postal_code": "VARCHAR",
        "city": "VARCHAR", "state": "VARCHAR", "latitude": "VARCHAR", "longitude": "VARCHAR",
    },
    "menu_items": {
        "item_id": "INTEGER", "item_name": "VARCHAR", "category": "VARCHAR", "price": "VARCHAR",
        "is_seasonal": "VARCHAR", "available_from": "VARCHAR", "available_to": "VARCHAR",
    },
    "users": {"user_id": "BIGINT", "gender": "VARCHAR", "birthdate": "VARCHAR", "registered_at": "VARCHAR"},
}

USED = {
    "transactions": "transaction_id, store_id, user_id::BIGINT AS user_id, final_amount, created_at",
    "transaction_items": "item_id, quantity, subtotal, created_at",
    "stores": "store_id, store_name",
    "menu_items": "item_id, item_name",
    "users": "user_id, birthdate",
}

# A decimal without needless zeros but with at least one.
PLAIN = """CREATE MACRO plain(amount) AS
    rtrim(amount::VARCHAR, '0') || CASE WHEN amount = trunc(amount) THEN '0' ELSE '' END"""

BEST_OF_MONTH = """
    SELECT month AS year_month_created_at, item_name, {shown} AS {name}
    FROM (
        SELECT strftime(created_at, '%Y-%m') AS month, item_id, sum({measure}) AS value
        FROM transaction_items WHERE year(created_at) IN (2024, 2025) GROUP BY month, item_id
        QUALIFY row_number() OVER (PARTITION BY month ORDER BY value DESC, item_id) = 1
    ) JOIN menu_items USING (item_id) ORDER BY month"""

QUERIES = {
    "q1": """
        SELECT transaction_id, plain(final_amount) AS final_amount
        FROM (
            SELECT transaction_id, final_amount FROM transactions
            WHERE year(created_at) IN (2024, 2025) AND final_amount >= 75
              AND created_at::TIME BETWEEN TIME '06:00:00' AND TIME '23:00:00'
        ) AS kept ORDER BY transaction_id, kept.final_amount""",
    "q2_best_selling": BEST_OF_MONTH.format(measure="quantity", name="sellings_qty", shown="value"),
    "q2_most_profit": BEST_OF_MONTH.format(measure="subtotal", name="profit_sum", shown="plain(value)"),
    "q3": """
        SELECT half AS year_half_created_at, store_name, plain(value) AS tpv
        FROM (
            SELECT year(created_at) || CASE WHEN month(created_at) <= 6 THEN '-H1' ELSE '-H2' END AS half,
                   store_id, sum(final_amount) AS value
            FROM transactions
            WHERE year(created_at) IN (2024, 2025)
              AND created_at::TIME BETWEEN TIME '06:00:00' AND TIME '23:00:00'
            GROUP BY half, store_id
        ) JOIN stores USING (store_id) ORDER BY half, store_name, store_id""",
    "q4": """
        SELECT store_name, birthdate, purchases_qty
        FROM (
            SELECT store_id, user_id, count(*) AS purchases_qty
            FROM transactions WHERE year(created_at) IN (2024, 2025) AND user_id IS NOT NULL
            GROUP BY store_id, user_id
            QUALIFY row_number() OVER (PARTITION BY store_id ORDER BY purchases_qty DESC, user_id) <= 3
        ) JOIN stores USING (store_id) JOIN users USING (user_id)
        ORDER BY store_name, store_id, purchases_qty DESC, user_id""",
}


def load(database, data):
    for table, columns in COLUMNS.items():
        database.execute(
            f"CREATE TEMP TABLE {table} AS SELECT {USED[table]} FROM read_csv('{data}/{table}/*.csv', columns={columns}, "
            "header=true, auto_detect=false, delim=',', quote='\"', escape='\"', new_line='\\n')")


def answer(database, out):
    database.execute(PLAIN)
    for name, query in QUERIES.items():
        database.execute(f"COPY ({query}) TO '{out}/{name}.csv' (HEADER, DELIMITER ',')")


def main():
    data, out = sys.argv[1], pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    database = duckdb.connect()
    database.execute("SET preserve_insertion_order = false")
    load(database, data)
    loaded = time.perf_counter()
    answer(database, out)
    print(f"load {loaded - begin:.4f} queries {time.perf_counter() - loaded:.4f}")


if __name__ == "__main__":
    main()
