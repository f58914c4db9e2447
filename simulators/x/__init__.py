"""A stand-in of the X web application: its pages, its GraphQL answers, its limits, and its faults on demand."""
