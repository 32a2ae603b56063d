//! The features of a request: one definition for serving and for training.
