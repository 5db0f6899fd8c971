//! How each result is shown.

/// How a result is shown.
#[derive(Debug)]
pub struct View {
    /// The result.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its columns, in the file's order. The last one has the figures.
    pub columns: &'static [&'static str],
    /// What is drawn of it.
    pub charts: Charts,
}

/// What is drawn of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charts {
    /// Nothing.
    None,
    /// One chart, with a bar a row.
    One,
    /// A chart for each value of the first column, by which the file is sorted.
    ByFirst,
}

/// In the order of the page: what may be a long list comes last.
pub const VIEWS: [View; 5] = [
    View {
        name: "q2_best_selling",
        title: "Q2: best-selling product of each month",
        columns: &["Month", "Product", "Units sold"],
        charts: Charts::One,
    },
    View {
        name: "q2_most_profit",
        title: "Q2: most profitable product of each month",
        columns: &["Month", "Product", "Profit"],
        charts: Charts::One,
    },
    View {
        name: "q3",
        title: "Q3: total payment value by half-year and store",
        columns: &["Half-year", "Store", "Total payment value"],
        charts: Charts::ByFirst,
    },
    View {
        name: "q4",
        title: "Q4: most frequent customers of each store",
        columns: &["Store", "Birthdate", "Purchases"],
        charts: Charts::One,
    },
    View {
        name: "q1",
        title: "Q1: transactions of at least the asked amount",
        columns: &["Transaction", "Amount"],
        charts: Charts::None,
    },
];

impl View {
    /// How many rows the table shows at most.
    pub fn table_limit(&self) -> usize {
        if self.charts == Charts::None { 100 } else { 1000 }
    }
}

#[cfg(test)]
mod tests {
    use coffee_core::sales::{BestSelling, MostProfit, ResultRow, Sale, StoreHalf, TopBuyer, sales_plan};

    use super::VIEWS;

    #[test]
    fn every_result_has_a_view_with_its_columns() {
        let plan = sales_plan().unwrap();
        for (name, header) in [
            (plan.q1.name(), Sale::HEADER),
            (plan.q2_best_selling.name(), BestSelling::HEADER),
            (plan.q2_most_profit.name(), MostProfit::HEADER),
            (plan.q3.name(), StoreHalf::HEADER),
            (plan.q4.name(), TopBuyer::HEADER),
        ] {
            let view = VIEWS.iter().find(|view| view.name == name).unwrap();
            assert_eq!(view.columns.len(), header.len(), "{name}");
        }
    }
}
