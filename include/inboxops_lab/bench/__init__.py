"""`inboxops bench`: what the product costs on this machine, measured with real servers in a folder of its own."""
