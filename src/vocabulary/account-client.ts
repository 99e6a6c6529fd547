/** The client id of identity's own account page. A configured client can't have it. */
export const accountClientId = 'curfew-account';
