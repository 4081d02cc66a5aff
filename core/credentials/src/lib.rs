//! What a process shows to a control plane, and whom it believes to be one: tokens and authorities in files that somebody
//! else replaces; and the certificate that a mesh's CA gives it for such a token.
//!
//! Both planes use it: a proxy dials its controller and the CA, a controller may have its certificate of the CA, too.

mod backoff;
mod dial;
mod token;
mod workload;

pub use backoff::Backoff;
pub use dial::{Undiallable, encrypted, endpoint};
pub use token::Token;
pub use workload::{CertificateAuthority, Issued, Latest, Workload};
