//! A PROXY header is read the same, however its bytes come.

use meltemi_core::proxy_protocol::{HeaderError, MOST, Progress, parse};

pub(crate) fn run(data: &[u8]) {
    let at_once = parse(data);
    let mut needs = 0;
    for end in 0..=data.len() {
        match parse(&data[..end]) {
            Ok(Progress::Needs(more)) => {
                assert!(more > end && more >= needs, "{more} bytes are needed");
                assert!(more <= 16 + usize::from(MOST));
                needs = more;
            }
            // Whatever follows changes nothing.
            Ok(whole @ Progress::Whole(_, size)) => {
                assert_eq!(size, end);
                return assert_eq!(at_once, Ok(whole));
            }
            Err(HeaderError::Missing) => {
                assert!(end <= 12);
                return assert_eq!(at_once, Err(HeaderError::Missing));
            }
            Err(error) => {
                assert!(end >= 16);
                return assert_eq!(at_once, Err(error));
            }
        }
    }
}
