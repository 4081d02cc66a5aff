//! What each library shows of each status, as the protocol's page of the docs has it.

use super::peers::Answer;

/// A column of the page's table `told`.
pub(crate) struct Told {
    library: &'static str,
    /// A status, or `the message`, and what the library shows of it.
    rows: Vec<(&'static str, &'static str)>,
}

impl Told {
    /// # Panics
    /// When the page has no column of this library.
    pub(crate) fn of(page: &'static str, library: &'static str) -> Self {
        let begin = page.split_once("<!-- told -->").expect("the page has it").1;
        let table = begin.split_once("<!-- /told -->").expect("it ends").0;
        let mut rows = table.trim().lines().map(cells);
        let header = rows.next().expect("a header");
        let column = header.iter().position(|name| *name == library);
        let column = column.unwrap_or_else(|| panic!("no column of {library} in {header:?}"));
        let row = |cells: Vec<&'static str>| Some((*cells.first()?, *cells.get(column)?));
        let rows = rows.skip(1).filter_map(row).collect();
        Self { library, rows }
    }

    fn row(&self, name: &str) -> &'static str {
        let named = self.rows.iter().find(|row| row.0 == name);
        let any = || self.rows.iter().find(|row| row.0.starts_with("any"));
        let row = named.or_else(any).expect("a row for the rest");
        row.1
    }

    /// That an answer is what the library shows of this status, with this reason in words.
    pub(crate) fn assert(&self, answer: &Answer, status: &str, reason: &str) {
        let Answer::Error { class, message } = answer else {
            panic!("{}: {status} came as {answer:?}", self.library);
        };
        assert_eq!(class, self.row(status), "{}: {answer:?}", self.library);
        let wanted = self.row("the message").replace("REASON", reason);
        let is_it = match wanted.strip_prefix('…') {
            None => *message == wanted,
            Some(end) => message.ends_with(end),
        };
        assert!(is_it, "{}: no {wanted:?} in {answer:?}", self.library);
    }
}

/// Of a row, without the marks of code.
fn cells(line: &'static str) -> Vec<&'static str> {
    let cells = line.trim().trim_matches('|').split('|');
    cells.map(|cell| cell.trim().trim_matches('`')).collect()
}
