//! What bindgen reads in lvm2's headers.
#![allow(dead_code, missing_docs, unreachable_pub, non_camel_case_types, unsafe_op_in_unsafe_fn)]

include!(concat!(env!("OUT_DIR"), "/liblvm.rs"));
