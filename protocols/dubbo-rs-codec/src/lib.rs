//! The Dubbo2 wire format and Hessian2, zero-copy and without I/O.
