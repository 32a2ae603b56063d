//! Policies: from file to compiled.
