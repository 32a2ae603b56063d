//! The whole state of a controller, written to an image and begun anew from one.
//!
//! It stands apart because it concerns every field and decides nothing.

use super::Controller;
use crate::image::Image;
use std::collections::VecDeque;

impl Controller {
    /// Appends the state as bytes, for [`Controller::from_image`]. Every effect must have been taken.
    pub fn write_image(&self, out: &mut Vec<u8>) {
        let Controller { policy, requests, queue, seats, load, limit, breakers, effects: _ } = self;
        policy.write(out);
        requests.write(out);
        queue.write(out);
        seats.write(out);
        load.write(out);
        limit.write(out);
        breakers.write(out);
    }

    /// The controller of an image that a controller of this very version wrote; `None` if it is none.
    pub fn from_image(mut image: &[u8]) -> Option<Controller> {
        let input = &mut image;
        let controller = Controller {
            policy: Image::read(input)?,
            requests: Image::read(input)?,
            queue: Image::read(input)?,
            seats: Image::read(input)?,
            load: Image::read(input)?,
            limit: Image::read(input)?,
            breakers: Image::read(input)?,
            effects: VecDeque::new(),
        };
        image.is_empty().then_some(controller)
    }
}
