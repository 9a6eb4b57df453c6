//! The modules of this folder that the model checker compiles.

mod bin;
mod bin_drain;
mod remote {
    mod inbox;
}
mod user;

pub(crate) use user::User;
