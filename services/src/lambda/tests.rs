//! lambda in virtual time.
