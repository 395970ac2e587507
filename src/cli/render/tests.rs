//! Answers made by hand, printed and compared with what users were promised.
