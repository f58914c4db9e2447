"""What the services say to each other beside the protos: the table of streams and subjects. No behaviour."""
