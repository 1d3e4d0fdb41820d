"""AWS on one machine: the emulator the template is deployed on, and what it lacks."""
