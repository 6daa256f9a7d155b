//! kinesis in virtual time.
