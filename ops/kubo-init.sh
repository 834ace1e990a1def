#!/bin/sh
# Run by Kubo's image before its daemon: the API has no password, so it stays on the loopback
# address, where the other containers of this network are; and there is room for what is pinned.
set -e
ipfs config Addresses.API /ip4/127.0.0.1/tcp/5001
ipfs config Addresses.Gateway /ip4/127.0.0.1/tcp/8080
ipfs config Datastore.StorageMax 40GB
