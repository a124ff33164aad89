"""`xbot check`: what is wrong with a configuration, with nginx's, and with the sidecar that runs."""
