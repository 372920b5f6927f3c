//! The rules served now, swapped whole.
