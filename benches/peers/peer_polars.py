#!/usr/bin/env python3
"""The four queries by Polars: peer_polars.py DATA OUT

Loads the used columns of every table with Polars' parallel CSV reader, told their types, then answers the queries.
Amounts are Decimal(18, 4), so sums are exact; times stay text, which compares in the order of time and costs Polars much
less than parsing it. Prints one line: `load SECONDS queries SECONDS`, without the interpreter's start and the
import of the library.
"""
import pathlib
import sys
import time

import polars as pl

AMOUNT = pl.Decimal(18, 4)

TYPES = {
    "transactions": {
        "transaction_id": pl.String, "store_id": pl.Int32, "user_id": pl.Float64, "final_amount": AMOUNT,
        "created_at": pl.String,
    },
    "transaction_items": {"item_id": pl.Int32, "quantity": pl.Int64, "subtotal": AMOUNT, "created_at": pl.String},
    "stores": {"store_id": pl.Int32, "store_name": pl.String},
    "menu_items": {"item_id": pl.Int32, "item_name": pl.String},
    "users": {"user_id": pl.Int64, "birthdate": pl.String},
}

YEAR = pl.col("created_at").str.head(4)
MONTH = pl.col("created_at").str.head(7)
IN_YEARS = (pl.col("created_at") >= "2024") & (pl.col("created_at") < "2026")
IN_HOURS = pl.col("created_at").str.slice(11).is_between(pl.lit("06:00:00"), pl.lit("23:00:00"))


def load(data):
    scans = [
        pl.scan_csv(f"{data}/{table}/*.csv", schema_overrides=types).select(list(types)) for table, types in TYPES.items()
    ]
    return dict(zip(TYPES, pl.collect_all(scans)))


def plain(column):
    """A decimal without needless zeros but with at least one."""
    text = pl.col(column).cast(pl.String).str.strip_chars_end("0")
    return pl.when(text.str.ends_with(".")).then(text + "0").otherwise(text).alias(column)


def q1(transactions):
    kept = transactions.filter(IN_YEARS, IN_HOURS, pl.col("final_amount") >= 75)
    return kept.sort("transaction_id", "final_amount").select("transaction_id", plain("final_amount"))


def q2(items, products):
    sums = items.filter(IN_YEARS).group_by(MONTH.alias("year_month_created_at"), "item_id").agg(
        pl.col("quantity").sum().alias("sellings_qty"), pl.col("subtotal").sum().alias("profit_sum"))

    def best(measure, shown):
        ranked = sums.sort("year_month_created_at", measure, "item_id", descending=[False, True, False])
        winners = ranked.group_by("year_month_created_at", maintain_order=True).head(1)
        named = winners.join(products, on="item_id").sort("year_month_created_at")
        return named.select("year_month_created_at", "item_name", shown)

    return best("sellings_qty", pl.col("sellings_qty")), best("profit_sum", plain("profit_sum"))


def q3(transactions, stores):
    half = pl.when(pl.col("created_at").str.slice(5, 2) <= "06").then(pl.lit("-H1")).otherwise(pl.lit("-H2"))
    sums = transactions.filter(IN_YEARS, IN_HOURS).group_by((YEAR + half).alias("year_half_created_at"), "store_id").agg(
        pl.col("final_amount").sum().alias("tpv"))
    named = sums.join(stores, on="store_id").sort("year_half_created_at", "store_name", "store_id")
    return named.select("year_half_created_at", "store_name", plain("tpv"))


def q4(transactions, stores, users):
    bought = transactions.filter(IN_YEARS, pl.col("user_id").is_not_null())
    counts = bought.group_by("store_id", pl.col("user_id").cast(pl.Int64)).agg(pl.len().alias("purchases_qty"))
    ranked = counts.sort("store_id", "purchases_qty", "user_id", descending=[False, True, False])
    top = ranked.group_by("store_id", maintain_order=True).head(3)
    named = top.join(stores, on="store_id").join(users, on="user_id")
    ordered = named.sort("store_name", "store_id", "purchases_qty", "user_id", descending=[False, False, True, False])
    return ordered.select("store_name", "birthdate", "purchases_qty")


def answer(tables):
    lazy = {table: frame.lazy() for table, frame in tables.items()}
    best_selling, most_profit = q2(lazy["transaction_items"], lazy["menu_items"])
    answers = {
        "q1": q1(lazy["transactions"]),
        "q2_best_selling": best_selling,
        "q2_most_profit": most_profit,
        "q3": q3(lazy["transactions"], lazy["stores"]),
        "q4": q4(lazy["transactions"], lazy["stores"], lazy["users"]),
    }
    return dict(zip(answers, pl.collect_all(list(answers.values()))))


def main():
    data, out = sys.argv[1], pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    tables = load(data)
    loaded = time.perf_counter()
    for name, frame in answer(tables).items():
        frame.write_csv(out / f"{name}.csv")
    print(f"load {loaded - begin:.4f} queries {time.perf_counter() - loaded:.4f}")


if __name__ == "__main__":
    main()
