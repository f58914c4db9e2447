"""What every service needs to be a service. No business word in here, and no knowledge of any service."""

import os

# Before gRPC is imported, which reads it once: its handlers run in each child between fork and exec, and crash one of
# twenty when calls are under way. No child of ours ever uses the connections of its parent.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
