//! Regular expressions on one attribute that are tried together: one search of the value answers for
//! all of them.

use std::cell::RefCell;
use std::rc::Rc;

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternID, PatternSet as Matches};

/// Compiled size of one set.
const SIZE_LIMIT: usize = 4 << 20;
/// Memory of one set's lazily built automaton.
const CACHE_LIMIT: usize = 1 << 20;

/// Regular expressions that match whole values.
#[derive(Debug)]
pub(super) struct PatternSet {
    patterns: meta::Regex,
    /// What was found last, kept so that a search allocates nothing.
    found: RefCell<Matches>,
}

impl PatternSet {
    /// None where together they are too large, though each alone is not.
    pub(super) fn new(patterns: &[Rc<str>]) -> Option<Self> {
        let config = meta::Config::new()
            .match_kind(MatchKind::All)
            .utf8_empty(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(SIZE_LIMIT))
            .hybrid_cache_capacity(CACHE_LIMIT);
        let patterns = meta::Regex::builder()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build_many(patterns)
            .ok()?;
        Some(Self {
            found: RefCell::new(Matches::new(patterns.pattern_len())),
            patterns,
        })
    }

    /// Looks which of them match.
    pub(super) fn search(&self, value: &[u8]) {
        let mut found = self.found.borrow_mut();
        found.clear();
        let input = Input::new(value);
        self.patterns.which_overlapping_matches(&input, &mut found);
    }

    /// Whether the last search found the pattern at this place.
    pub(super) fn found(&self, pattern: PatternID) -> bool {
        self.found.borrow().contains(pattern)
    }

    pub(super) fn size(&self) -> usize {
        self.patterns.memory_usage()
    }
}
