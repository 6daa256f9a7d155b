//! eventbridge in virtual time.
