"""Files from servers: resumed where they broke off, right to the last bit or an error."""
