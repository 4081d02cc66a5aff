//! Sentences for people.

/// `a, b or c`; of many, the first.
#[must_use]
pub fn one_of<T: AsRef<str>>(names: &[T]) -> String {
    const NAMED: usize = 12;
    let first: Vec<_> = names.iter().take(NAMED).map(T::as_ref).collect();
    let others = names.len() - first.len();
    match first.split_last() {
        _ if others > 0 => format!("{} or one of {others} others", first.join(", ")),
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => "nothing".to_owned(),
    }
}
