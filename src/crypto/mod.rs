//! Ciphers, keys and passwords.
